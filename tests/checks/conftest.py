"""Let the tests of this folder import the bank of answers, which is no test itself."""

import sys
from importlib import import_module
from pathlib import Path

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE))
for _path in sorted(_HERE.glob("bank_*.py")):
    import_module(_path.stem)
