"""Pictures with boxes, from Pascal VOC folders and COCO files."""

import json
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cenet.errors import DataError


@dataclass(frozen=True)
class AnnotatedObject:
    label: int
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels, from the picture's upper left corner; of some area."""
    ignored: bool = False
    """Marked as difficult (VOC) or a crowd (COCO): never trained on, and neither right nor wrong to find."""


@dataclass(frozen=True)
class AnnotatedPicture:
    path: Path
    objects: tuple[AnnotatedObject, ...]


@dataclass(frozen=True)
class Annotations:
    """`labels[i]` is the name of label i."""

    labels: list[str]
    pictures: list[AnnotatedPicture]


def read_part(root: Path, part: str) -> Annotations:
    """The part of a data set in folder `root`: a COCO file if its name ends with `.json`, else a VOC image set.

    Raises:
        DataError: if it can't be read, or holds no picture or no object.
    """
    try:
        annotations = read_coco(root / part) if part.endswith(".json") else read_voc(root, part)
    except (OSError, ElementTree.ParseError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"can't read the part {part} of {root}: {error!r}") from error
    if not any(picture.objects for picture in annotations.pictures):
        raise DataError(f"the part {part} of {root} has no pictures or no objects")
    return annotations


def read_voc(root: Path, part: str) -> Annotations:
    """`ImageSets/Main/<part>.txt` names the pictures; labels are the sorted names in all of `Annotations`.

    Coordinates are taken as written. Objects without area are left out.
    """
    trees = {file.stem: ElementTree.parse(file).getroot() for file in sorted((root / "Annotations").glob("*.xml"))}
    labels = sorted({name.text.strip() for tree in trees.values() for name in tree.iterfind("object/name")})
    index = {name: label for label, name in enumerate(labels)}
    lines = (root / "ImageSets" / "Main" / f"{part}.txt").read_text().splitlines()
    names = [line.split()[0] for line in lines if line.strip()]
    return Annotations(labels, [_voc_picture(root, name, trees[name], index) for name in names])


def _voc_picture(root: Path, name: str, tree: ElementTree.Element, index: Mapping[str, int]) -> AnnotatedPicture:
    objects = (_voc_object(node, index) for node in tree.iterfind("object"))
    return AnnotatedPicture(root / "JPEGImages" / f"{name}.jpg", tuple(filter(_has_area, objects)))


def _voc_object(node: ElementTree.Element, index: Mapping[str, int]) -> AnnotatedObject:
    box = tuple(float(node.find(f"bndbox/{side}").text) for side in ("xmin", "ymin", "xmax", "ymax"))
    difficult = (node.findtext("difficult") or "0").strip() == "1"
    return AnnotatedObject(index[node.find("name").text.strip()], box, difficult)


def read_coco(file: Path) -> Annotations:
    """Labels are the categories in the order of their ids.

    Pictures are looked for beside the file, and beside its folder in a folder named like it
    (`instances_train2017.json`: `train2017`). Objects without area are left out.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    categories = sorted(content["categories"], key=lambda category: category["id"])
    index = {category["id"]: label for label, category in enumerate(categories)}
    objects = defaultdict(list)
    for entry in content["annotations"]:
        x, y, width, height = map(float, entry["bbox"])
        box = (x, y, x + width, y + height)
        objects[entry["image_id"]].append(
            AnnotatedObject(index[entry["category_id"]], box, bool(entry.get("iscrowd", 0)))
        )
    folders = (file.parent, file.parent.parent / file.stem.removeprefix("instances_"))
    pictures = [
        AnnotatedPicture(_find(entry["file_name"], folders), tuple(filter(_has_area, objects[entry["id"]])))
        for entry in content["images"]
    ]
    return Annotations([category["name"] for category in categories], pictures)


def _find(name: str, folders: tuple[Path, ...]) -> Path:
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"no picture {name} in {' or '.join(map(str, folders))}")
    return found


def _has_area(entry: AnnotatedObject) -> bool:
    x1, y1, x2, y2 = entry.box
    return x2 > x1 and y2 > y1
