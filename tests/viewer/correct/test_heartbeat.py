"""What would hold up the event loop is done elsewhere, or in steps."""

from __future__ import annotations

import subprocess
import sys

CORRECT_A_FIRST_IMAGE = """
import sys, threading, tempfile
from pathlib import Path
import numpy as np
from napari.layers import Image
from napari_seamless.viewer.correct.lifetime import open_and_note
from napari_seamless.viewer.correct.opening import OpeningRequest
from napari_seamless.viewer.layers import source_of

late = {"pandas", "skimage.color"}
request = OpeningRequest(source_of((Image(np.zeros((8, 8), np.uint8)),), "YX"), None, "cells", Path(sys.argv[1]))
assert not late & set(sys.modules)
still_open = []
thread = threading.Thread(target=open_and_note, args=(request, lambda: False, still_open))
thread.start()
thread.join()
assert still_open[0].labels.shape == (8, 8)
print(sorted(late & set(sys.modules)))
still_open[0].close()
"""


def test_what_the_first_labels_need_is_imported_by_the_thread_that_opens_the_workspace(tmp_path):
    """On the main thread napari would take half a second for it when the labels are added."""
    command = [sys.executable, "-c", CORRECT_A_FIRST_IMAGE, str(tmp_path / "cells.seamless")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.stdout.strip() == "['pandas', 'skimage.color']", answer.stderr
