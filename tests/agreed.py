"""Where the agreed data lies, and the scripts beside it."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

SHARED = Path(__file__).resolve().parents[2] / "shared"
MISSING = f"needs the shared data folder {SHARED.name!r} beside the project, which is absent"


def load_module(path: Path) -> ModuleType:
    """Import a script of the shared folder under its stem, its folder first on the path while it loads."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    if path.stem in sys.modules:
        return sys.modules[path.stem]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
