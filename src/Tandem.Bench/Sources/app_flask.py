from flask import Flask, abort

app = Flask(__name__)
cache = {f"k{i}": {"key": f"k{i}", "value": f"value-{i}"} for i in range(1000)}


@app.get("/health")
def health():
    return {"status": "healthy"}


@app.get("/cached/<key>")
def cached(key):
    if (found := cache.get(key)) is None:
        abort(404)
    return found
