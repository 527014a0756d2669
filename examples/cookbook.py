"""The recipe "Export images as TIFF files" from bluesky's cookbook (2016), running today.

The part under "The recipe" is the original code, except for two lines: the missing end
of a docstring, and one that writes the files into FOLDER.

The part above it provides what the recipe imported from elsewhere or got from the
beamline's profile:

- `LiveTiffExporter`, `get_images` and `process` come from tiffin.
- LiveTable and LivePlot come from their current places in bluesky.
- `db` is a temporary databroker.
- RunEngine, detector, motor and shutter are simulated.
- numpy and `sleep`, which the recipe did not import, are imported.

LivePlot needs matplotlib, which no extra of tiffin installs:

    pip install 'tiffin[databroker,demo]' matplotlib
    python examples/cookbook.py FOLDER
"""

import sys
from time import sleep

import matplotlib
import numpy as np
from bluesky import RunEngine
from bluesky.callbacks import LiveTable
from databroker import Broker
from simulated import make_detector, motor, shctl1

from tiffin import LiveTiffExporter, get_images, process
from tiffin.corrections import DarkSubtract

matplotlib.use("agg")  # no window
from bluesky.callbacks.mpl_plotting import LivePlot

db = Broker.named("temp")
RE = RunEngine()
RE.subscribe(db.v1.insert)

# The pixels are int32, because the recipe's `img - dark` would wrap unsigned ones below
# zero. The last part of this script works with both.
pe1c = make_detector("pe1", dtype="int32")
motor.move = lambda x: motor.set(x).wait()

tiff_base = sys.argv[1] if len(sys.argv) > 1 else "/home/xf28id1/xpdUser/tiff_base"


# --- The recipe ----------------------------------------------------------------------
# fmt: off

class SubtractedTiffExporter(LiveTiffExporter):
    """
    Intercept images before saving and subtract dark image

    Runs are expected include a custom metadata field, 'dark_frame',
    pointing to the unique ID of a run that captured a dark frame to be
    used for subtraction.
    """

    def start(self, doc):
        "Load the dark frame we will use for this run."

        # The metadata is expected to contain a reference to the uid
        # of a run with a dark frame image.
        if 'dark_frame' not in doc:
            raise ValueError("No dark_frame was recorded.")
        uid = doc['dark_frame']
        dark_header = db[uid]
        self.dark_img, = get_images(db[uid], 'pe1_image')
        super().start(doc)

    def event(self, doc):
        "For each image, subtract the dark frame."

        img = doc['data'][self.field]
        subtracted_img = img - self.dark_img
        doc['data'][self.field] = subtracted_img
        super().event(doc)


from bluesky.plans import count, relative_list_scan
import time

template = "/home/xf28id1/xpdUser/tiff_base/UO2_23_8/{start.sa_name}_{start.scan_id}_step{event.seq_num}.tif"
template = template.replace("/home/xf28id1/xpdUser/tiff_base", tiff_base)
exporter = SubtractedTiffExporter('pe1_image', template)

def take_dark():
    print('closing shutter...')
    shctl1.put(0)  # close shutter
    sleep(2)
    print('taking dark frame....')
    uid, = RE(count([pe1c]))
    print('opening shutter...')
    shctl1.put(1)
    sleep(2)
    return uid


def run(motor, x, start, stop, num_steps, loops, *, exposure=1,  **metadata):
    print('moving %s to initial position' % motor.name)
    subs = [LiveTable(['pe1_stats1_total', motor.name]),
            LivePlot('pe1_stats1_total', motor.name)]
    motor.move(x)
    pe1c.images_per_set.put(exposure // 0.1)
    dark_uid = take_dark()
    steps = loops * list(np.linspace(start, stop, num=num_steps, endpoint=True))
    plan = relative_list_scan([pe1c], motor, steps)
    uid = RE(plan, subs, dark_frame=dark_uid, **metadata)
    time.sleep(3)  # wait to ensure all images are available
    process(db[uid], exporter)

# fmt: on


# --- The same in two lines, for any dtype of the detector ----------------------------


class SubtractedInTwoLines(LiveTiffExporter):
    corrections = DarkSubtract(key="dark_frame")


in_two_lines = SubtractedInTwoLines(
    "pe1_image", template.replace("UO2_23_8/", "float/"), db=db
)


# --- At the beamline -----------------------------------------------------------------

if __name__ == "__main__":
    run(motor, 0, -1, 1, 3, 2, sa_name="UO2_23_8")
    process(db[-1], in_two_lines)
    print("\n".join(exporter.filenames + in_two_lines.filenames))
