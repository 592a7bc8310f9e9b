"""Programs of others: run with a time limit, and told about in one line."""
import subprocess


def last_line(text):
    return (text.strip().splitlines() or [''])[-1]


def run_limited(command, seconds, **more):
    """(exit code, output); no code when it took too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds,
                              check=False, stdin=subprocess.DEVNULL, **more)
    except subprocess.TimeoutExpired:
        return None, f'took more than {seconds} seconds'
    return done.returncode, done.stdout + done.stderr
