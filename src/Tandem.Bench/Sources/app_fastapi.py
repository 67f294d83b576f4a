from fastapi import FastAPI, HTTPException

app = FastAPI()
cache = {f"k{i}": {"key": f"k{i}", "value": f"value-{i}"} for i in range(1000)}


@app.get("/health")
async def health():
    return {"status": "healthy"}


@app.get("/cached/{key}")
async def cached(key: str):
    if (found := cache.get(key)) is None:
        raise HTTPException(404)
    return found
