"""What processes cost, as the kernel counts it."""
import os


def cpu_seconds(pid):
    """Of all threads: user and system time so far."""
    with open(f'/proc/{pid}/stat', encoding='ascii') as file:
        fields = file.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def resident_bytes(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith('VmRSS'))


def descriptors(pid):
    """What a process has open, by kind."""
    folder, found = f'/proc/{pid}/fd', []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(os.path.join(folder, name)))
        except FileNotFoundError:
            pass
    return sorted(one.split(':')[0] for one in found)
