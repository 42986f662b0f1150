"""Peak memory for a slide without a pyramid, measured in a separate process."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile

PROGRAM = """
import sys
from survival.slides import preprocess_slide

record = preprocess_slide(sys.argv[1], 64, canvas=(2500, 2000), threads=2).provenance
assert (record["width"], record["height"]) == (188, 141), record
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_single_level_of_108_million_pixels_takes_less_than_300_mb(tmp_path, tissue):
    """All pixels together would take 432 MB."""
    tile = np.ascontiguousarray(tissue[900:1412, 700:1212])
    path = tmp_path / "large.tif"
    tifffile.imwrite(
        path,
        (tile for _ in range(24 * 18)),
        shape=(9000, 12_000, 3),
        dtype="uint8",
        tile=(512, 512),
        photometric="rgb",
        compression="jpeg",
    )
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) < 300
