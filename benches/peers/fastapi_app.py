"""What a team would write: FastAPI in front of a LightGBM model, one row of named features at a time."""

import os

import lightgbm
import numpy
from fastapi import FastAPI
from pydantic import BaseModel

booster = lightgbm.Booster(model_file=os.environ["MODEL"])
names = booster.feature_name()
app = FastAPI()


class Request(BaseModel):
    features: dict[str, float]


@app.post("/predict")
def predict(request: Request):
    row = numpy.array([[request.features[name] for name in names]])
    probability = float(booster.predict(row, num_threads=1)[0])
    return {"prediction": int(probability > 0.5), "probability": probability}
