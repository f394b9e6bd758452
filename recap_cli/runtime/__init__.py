"""What all wings stand on: device, decoding of captions, the hub, worker processes, caches, run folders."""
