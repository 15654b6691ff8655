"""A host's process in the middle: starts the plugin and does nothing, so that it can be killed."""

import subprocess
import sys

if __name__ == "__main__":
    sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)
