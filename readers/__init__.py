"""What other programs read of tiffin's files: run by ``make readers``."""

EXACT, ROUNDED, WRONG, REFUSED = "exact", "rounded", "wrong", "refused"

READERS = (
    *("tifffile", "scikit-image", "fabio", "Pillow", "OpenCV", "libvips", "libtiff"),
    *("ImageJ", "Bio-Formats"),
)
