"""The program of backend_sqlite.py with a model: a forest of a hundred trees, as scikit-learn makes it unless it is told otherwise."""
import pandas
from pydantic import BaseModel, ConfigDict
from sklearn.ensemble import RandomForestClassifier

from backend_sqlite import SignedIn, app

training = pandas.read_csv("iris.csv")
model = RandomForestClassifier(random_state=0).fit(training.drop(columns="species"), training["species"])


class Record(BaseModel):
    model_config = ConfigDict(strict=True)

    sepal_length: float
    sepal_width: float
    petal_length: float
    petal_width: float


# No coroutine: the prediction computes, and would hold up everybody else of this process.
@app.post("/predict")
def predict(record: Record, caller: SignedIn):
    frame = pandas.DataFrame([record.model_dump()])
    return {"prediction": model.predict(frame).tolist()}
