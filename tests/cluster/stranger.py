#!/usr/bin/python3
"""A stranger on the control port: garbage, half a TLS greeting, silence, a flood.  stranger.py HOST PORT SEED"""
import random
import socket
import sys
import time

host, port, chance = sys.argv[1], int(sys.argv[2]), random.Random(int(sys.argv[3]))
held = []
for number in range(60):
    try:
        peer = socket.create_connection((host, port), timeout=0.5)
        peer.settimeout(0.2)
        kind = number % 4
        if kind == 0:
            peer.sendall(chance.randbytes(65536))
        elif kind == 1:
            peer.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        elif kind == 2:
            peer.sendall(b"\xff" * 100)
        held.append(peer)  # and says nothing more
    except OSError:
        pass
time.sleep(0.5)
print(f"{len(held)} connections made")
