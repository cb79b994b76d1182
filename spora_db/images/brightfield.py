"""What an image of a brightfield modality is: a picture of red, green and blue. One rule for all who read one."""

import numpy as np

from spora_db.images.base import ImageReader


def brightfield_fault(image: ImageReader) -> str | None:
    """Say why an image cannot be an H&E or IHC image, in the same words for all who ask; None where it can.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from spora_db.images import open_image, write_ometiff
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_ometiff(Path(folder) / "a.ome.tiff", np.zeros((2, 30, 40), np.uint8), mpp=0.5)
    ...     print(brightfield_fault(open_image(path)).replace(folder, ""))
    /a.ome.tiff has 2 channels of uint8; H&E and IHC images are RGB: 3 channels (or 4, with alpha) of uint8 or uint16.
    Write it as RGB, or choose a multiplex modality.
    """
    found = f"has {image.shape[0]} channels of {image.dtype}"
    if image.shape[0] in (3, 4) and image.dtype in (np.uint8, np.uint16):
        if image.not_rgb is None:
            return None
        found = f"is no RGB picture: {image.not_rgb}"
    return (
        f"{image.path} {found}; H&E and IHC images are RGB: 3 channels (or 4, with alpha) of uint8 or uint16. "
        "Write it as RGB, or choose a multiplex modality."
    )
