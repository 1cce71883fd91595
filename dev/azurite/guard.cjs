// Loaded into Azurite before its own code. Standard input is a pipe from the
// program that started it, so its end means that the program is gone, however
// it went. Azurite keeps its metadata in memory for up to five seconds, so it
// is asked to close, which writes the metadata, and is made to end soon after:
// it would otherwise wait for each open connection.
'use strict';

const graceMs = 2000;

process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM')).resume();
process.stdin.unref(); // alone it keeps no process alive
process.on('SIGTERM', () => setTimeout(() => process.exit(0), graceMs).unref());
