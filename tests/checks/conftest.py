"""Let the tests of this folder import the bank of answers, which is no test itself."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
