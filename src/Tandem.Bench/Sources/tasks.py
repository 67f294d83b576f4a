import asyncio
import gc
import sys


async def wait(gate):
    await gate.wait()


async def main():
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print("ready", flush=True)
    gate, tasks = asyncio.Event(), []
    while line := (await lines.readline()).decode():
        name, *arguments = line.split()
        answer = len(tasks)
        if name == "spawn":
            tasks = [asyncio.create_task(wait(gate)) for _ in range(int(arguments[0]))]
            # Until every one of them has begun and waits.
            while len(gate._waiters) < len(tasks):
                await asyncio.sleep(0)
            answer = len(tasks)
        elif name == "settle":
            gc.collect()
        elif name == "wake":
            gate.set()
            for task in tasks:
                await task
        print("ok", answer, flush=True)


asyncio.run(main())
