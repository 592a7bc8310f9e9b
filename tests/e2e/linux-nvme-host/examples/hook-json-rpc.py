#!/usr/bin/env python3
"""A hook for run.sh (--hook) that steers a target with SPDK's JSON-RPC methods.

Understands what the examples ask for:

    ana PORT STATE          optimized, non-optimized or inaccessible
    path-down PORT          removes the listener
    path-up PORT            adds it again
    ns-remove NSID          removes a namespace
    ns-add NSID             adds it again, with the bdev that it had
    ns-resize NSID MIB      resizes the volume below it

Environment: RPC_SOCKET (default /var/tmp/spdk.sock), NQN, LISTEN_ADDRESS
(default 127.0.0.1), BDEVS (names of the bdevs by namespace, "Malloc0 Malloc1").
"""

import json
import os
import socket
import sys

NQN = os.environ["NQN"]
BDEVS = os.environ.get("BDEVS", "Malloc0 Malloc1").split()


def call(method, **params):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(os.environ.get("RPC_SOCKET", "/var/tmp/spdk.sock"))
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        connection.sendall(json.dumps(request).encode())
        text = ""
        while True:
            piece = connection.recv(65536)
            if not piece:
                sys.exit("connection closed by the target")
            text += piece.decode()
            try:
                reply = json.loads(text)
                break
            except json.JSONDecodeError:
                continue
    if "error" in reply:
        sys.exit(f"{method}: {reply['error']}")


def listener(port):
    address = os.environ.get("LISTEN_ADDRESS", "127.0.0.1")
    return {"trtype": "TCP", "adrfam": "IPv4", "traddr": address, "trsvcid": port}


def main():
    match sys.argv[1:]:
        case ["ana", port, state]:
            call("nvmf_subsystem_listener_set_ana_state", nqn=NQN,
                 listen_address=listener(port), ana_state=state.replace("-", "_"))
        case ["path-down", port]:
            call("nvmf_subsystem_remove_listener", nqn=NQN, listen_address=listener(port))
        case ["path-up", port]:
            call("nvmf_subsystem_add_listener", nqn=NQN, listen_address=listener(port))
        case ["ns-remove", nsid]:
            call("nvmf_subsystem_remove_ns", nqn=NQN, nsid=int(nsid))
        case ["ns-add", nsid]:
            call("nvmf_subsystem_add_ns", nqn=NQN,
                 namespace={"nsid": int(nsid), "bdev_name": BDEVS[int(nsid) - 1]})
        case ["ns-resize", nsid, mebibytes]:
            call("bdev_lvol_resize", name=BDEVS[int(nsid) - 1], size_in_mib=int(mebibytes))
        case words:
            sys.exit(f"unknown request: {' '.join(words)}")


main()
