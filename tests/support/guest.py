"""Linux guests in qemu: prepared once, or the reason why there can be none here."""
import os
import shutil
import subprocess
import unittest

from limited import last_line


def prepare_guest(tool):
    """Runs build.sh of the guest's folder; skips the module when the guest cannot be made."""
    if not shutil.which('qemu-system-x86_64'):
        raise unittest.SkipTest('qemu-system-x86_64 is missing (package qemu-system-x86)')
    made = subprocess.run([os.path.join(tool, 'build.sh')], capture_output=True, text=True,
                          check=False)
    if made.returncode != 0:
        reason = last_line(made.stderr) or 'no reason given'
        raise unittest.SkipTest(f'the guest cannot be prepared: {reason}')
