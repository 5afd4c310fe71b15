"""``python -m napari_seamless``: the same as the command ``napari-seamless``."""

import sys

from napari_seamless.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
