import java.io.*;
import java.nio.*;
import java.nio.file.*;
import java.util.*;
import java.util.zip.CRC32;

/**
 * Reads TIFF files with ImageJ ("ij") or Bio-Formats ("bf"): Pix ij|bf LIST OUT.
 *
 * LIST has a path in each line. OUT gets a line for each: path, sizes "c z t", and the
 * CRC-32 of all pixels as little-endian doubles, and of ImageJ the labels of the slices;
 * or path, FAIL and the error.
 */
public class Pix {
    public static void main(String[] args) throws Exception {
        boolean imagej = args[0].equals("ij");
        if (!imagej) loci.common.DebugTools.setRootLevel("OFF");
        System.setErr(new PrintStream(OutputStream.nullOutputStream()));
        List<String> lines = new ArrayList<>();
        for (String path : Files.readAllLines(Paths.get(args[1]))) {
            String line;
            try { line = imagej ? ij(path) : bf(path); }
            catch (Throwable error) { line = "FAIL\t" + error.toString().replace("\n", " "); }
            lines.add(path + "\t" + line);
        }
        Files.write(Paths.get(args[2]), lines);
    }

    static String ij(String path) throws Exception {
        File file = new File(path);
        ij.ImagePlus image = new ij.io.Opener().openTiff(file.getParent() + "/", file.getName());
        if (image == null) return "FAIL\tImageJ gives no image";
        ij.ImageStack stack = image.getStack();
        boolean signed = image.getCalibration().isSigned16Bit();
        int width = image.getWidth(), height = image.getHeight(), pages = stack.getSize();
        int[] sizes = image.getDimensions();
        CRC32 crc = new CRC32();
        // Colours of 16 bits are channels of a stack: three pages at each place.
        int samples = image.isComposite() && pages % 3 == 0 && sizes[2] == 3 ? 3 : 1;
        for (int first = 1; first <= pages; first += samples)
            for (int y = 0; y < height; y++) {
                boolean rgb = stack.getProcessor(first) instanceof ij.process.ColorProcessor;
                ByteBuffer row = doubles(width * (rgb ? 3 : samples));
                for (int x = 0; x < width; x++)
                    for (int s = 0; s < samples; s++) {
                        ij.process.ImageProcessor page = stack.getProcessor(first + s);
                        if (rgb) {
                            int value = page.get(x, y);
                            for (int shift = 16; shift >= 0; shift -= 8) row.putDouble(value >> shift & 255);
                        } else if (page.getBitDepth() == 16) row.putDouble(page.get(x, y) - (signed ? 32768 : 0));
                        else row.putDouble(page.getf(x, y));
                    }
                crc.update(row.array());
            }
        StringBuilder line = new StringBuilder(sizes[2] + " " + sizes[3] + " " + sizes[4]);
        line.append("\t" + Long.toHexString(crc.getValue()));
        for (int k = 1; pages > 1 && k <= pages; k++) line.append("\t" + stack.getSliceLabel(k));
        return line.toString();
    }

    static String bf(String path) throws Exception {
        loci.formats.ImageReader reader = new loci.formats.ImageReader();
        reader.setGroupFiles(false);
        try {
            reader.setId(path);
            String type = loci.formats.FormatTools.getPixelTypeString(reader.getPixelType());
            int bytes = loci.formats.FormatTools.getBytesPerPixel(reader.getPixelType());
            int samples = reader.getRGBChannelCount(), size = reader.getSizeX() * reader.getSizeY();
            CRC32 crc = new CRC32();
            for (int k = 0; k < reader.getImageCount(); k++) {
                ByteBuffer pixels = ByteBuffer.wrap(reader.openBytes(k))
                    .order(reader.isLittleEndian() ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
                ByteBuffer all = doubles(size * samples);
                for (int i = 0; i < size; i++)
                    for (int s = 0; s < samples; s++) {
                        int at = (reader.isInterleaved() ? i * samples + s : s * size + i) * bytes;
                        all.putDouble(value(pixels, type, at));
                    }
                crc.update(all.array());
            }
            return reader.getSizeC() + " " + reader.getSizeZ() + " " + reader.getSizeT()
                + "\t" + Long.toHexString(crc.getValue());
        } finally { reader.close(); }
    }

    static double value(ByteBuffer pixels, String type, int at) throws IOException {
        switch (type) {
            case "uint8": return pixels.get(at) & 255;
            case "int8": return pixels.get(at);
            case "uint16": return pixels.getShort(at) & 65535;
            case "int16": return pixels.getShort(at);
            case "uint32": return pixels.getInt(at) & 4294967295L;
            case "int32": return pixels.getInt(at);
            case "float": return pixels.getFloat(at);
            case "double": return pixels.getDouble(at);
            default: throw new IOException(type);
        }
    }

    static ByteBuffer doubles(int count) {
        return ByteBuffer.allocate(count * 8).order(ByteOrder.LITTLE_ENDIAN);
    }
}
