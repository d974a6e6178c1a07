"""Pictures that a graph loads from a host's input folder, uploaded there when they are missing."""

from dataclasses import dataclass, field

from imagegen.comfy.errors import HostLacks
from imagegen.comfy.http import HostHTTP

# A folder of our own in the host's input folder.
FOLDER = "chatflow"


@dataclass(frozen=True, kw_only=True)
class ReferencePicture:
    """A picture file; `filename` follows from its bytes, so another picture has another name."""

    filename: str
    data: bytes = field(repr=False)

    @property
    def input_value(self) -> str:
        """What a LoadImage node calls the file."""
        return f"{FOLDER}/{self.filename}"


async def ensure_on_host(http: HostHTTP, picture: ReferencePicture) -> None:
    """Return when the host has the picture; it is uploaded if the host does not have it whole.

    Asked before each prompt, since the folder may have been emptied, or the host set up anew.
    May be called by several workers at a time: a file that is there already is not written again.

    Raises:
        HostLacks: the host does not take the picture.
        HostLost: the host does not answer.
    """
    size = await http.size_of("/view", filename=picture.filename, subfolder=FOLDER, type="input")
    if size == len(picture.data):
        return
    fields = {"subfolder": FOLDER, "type": "input"}
    if size is not None:
        fields["overwrite"] = "true"  # a part of it, as after a full disk
    answer = await http.upload("/upload/image", picture.filename, picture.data, **fields)
    if answer.get("name") != picture.filename:
        raise HostLacks(f"{http.name} does not take the persona's picture {picture.filename}")
