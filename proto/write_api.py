"""The API client, mm_asgi/types.py and the reference of the calls.

The calls and their messages are those of the .proto files, where errors come back and what the host
does with a call is said in tables/api.tsv, words and defaults in api.toml.
"""

from pathlib import Path

from api_faces import FACES, face_text
from api_facts import FACTS_FILE, facts_text
from api_methods import read_methods, read_services
from api_reference import page_text
from api_types import types_text
from sources import proto_files, read_protos, read_toml

TYPES_FILE = "mm_asgi/types.py"
REFERENCE_FILE = "docs/reference/api.md"

OWNED = (*(face.file for face in FACES), FACTS_FILE, TYPES_FILE, REFERENCE_FILE)


def generate(root: Path, scratch: Path) -> dict[str, bytes]:
    """Return every file by its path; the reference keeps its part that is written by hand."""
    files = read_protos(scratch, proto_files())
    services = read_services(files)
    texts = read_toml("api.toml")
    methods = list(read_methods(services, texts))
    page = root / REFERENCE_FILE
    written = {
        **{face.file: face_text(face, methods) for face in FACES},
        FACTS_FILE: facts_text(methods, texts),
        TYPES_FILE: types_text(files, services),
        REFERENCE_FILE: page_text(page.read_text() if page.exists() else "", methods),
    }
    return {path: text.encode() for path, text in written.items()}
