"""Acquisitions of imaging mass cytometry as the instrument writes them: text files, and MCD."""

import numpy as np

METALS = [("Ir", 191, "DNA1"), ("Er", 170, "CD3"), ("Ar", 80, "")]


def rows_of(image):
    """The pixels in the order in which they are ablated, with their places."""
    height, width = image.shape[1:]
    rows, cols = np.indices((height, width)).reshape(2, -1)
    return np.column_stack([cols, rows, np.arange(height * width), image.reshape(len(image), -1).T]).astype(np.float32)


def write_text(path, image, *, keep=None):
    names = [f"{label or f'{mass}{metal}'}({metal}{mass}Di)" for metal, mass, label in METALS]
    lines = ["\t".join(["Start_push", "End_push", "Pushes_duration", "X", "Y", "Z", *names])]
    for push, row in enumerate(rows_of(image)[:keep]):
        places = [str(int(value)) for value in row[:3]]
        lines.append("\t".join([str(push), str(push + 9), "10", *places, *map(str, row[3:].tolist())]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\r\n".join(lines) + "\r\n")


def write_mcd(path, images, *, cut=0, step=1):
    """Write an MCD: the data of its acquisitions, and behind them their XML in UTF-16; an empty one is added."""
    data, xml = bytearray(b"\0" * 100), []
    for number, image in enumerate([*images, np.zeros((3, 0, 0), np.float32)], start=1):
        start = len(data)
        data += rows_of(image).tobytes()[: -cut or None]
        size = "".join(
            f"<{name}>{value}</{name}>"
            for name, value in {
                "ID": number, "AcquisitionROIID": number, "Description": f"ROI_{number}", "DataStartOffset": start,
                "DataEndOffset": len(data), "ValueBytes": 4, "MaxX": image.shape[2], "MaxY": image.shape[1],
                "AblationDistanceBetweenShotsX": step, "AblationDistanceBetweenShotsY": step,
            }.items()
        )  # fmt: skip
        xml.append(f"<AcquisitionROI><ID>{number}</ID><PanoramaID>1</PanoramaID></AcquisitionROI>")
        xml.append(f"<Acquisition>{size}</Acquisition>")
        channels = [("X", "X"), ("Y", "Y"), ("Z", "Z")]
        channels += [(f"{metal}({mass})", label or f"{mass}{metal}") for metal, mass, label in METALS]
        xml += [
            f"<AcquisitionChannel><ID>{number}{order}</ID><ChannelName>{name}</ChannelName><OrderNumber>{order}"
            f"</OrderNumber><ChannelLabel>{label}</ChannelLabel><AcquisitionID>{number}</AcquisitionID>"
            "</AcquisitionChannel>"
            for order, (name, label) in enumerate(channels)
        ]
    text = (
        '<MCDSchema xmlns="http://www.fluidigm.com/IMC/MCDSchema.xsd"><Slide><ID>0</ID></Slide><Panorama><ID>1</ID>'
        f"<SlideID>0</SlideID><Type>Imported</Type></Panorama>{''.join(xml)}</MCDSchema>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(data) + text.encode("utf-16-le"))
