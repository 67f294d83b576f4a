import json

from lines import serve

kept = None


def parse(path):
    global kept
    with open(path, "rb") as file:
        kept = json.loads(file.read())
    return len(kept)


def check():
    return f"{len(kept)} {sum(r['id'] for r in kept)} {sum(len(r['name']) for r in kept)} {sum(len(r['tags']) for r in kept)}"


serve(parse=parse, check=check)
