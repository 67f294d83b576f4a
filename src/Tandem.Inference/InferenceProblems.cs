using Tandem.Core.Http;

namespace Tandem.Inference;

static class InferenceProblems
{
    public static readonly Problem NoModel = new("inference/no-model", 404,
        "There is no model yet. Train one: ./run model train samples/iris.csv --target species");

    public static readonly Problem NotFound = new("inference/not-found", 404, "There is no model of this name; GET /models lists those there are.");

    public static readonly Problem Unusable = new("inference/unusable", 503, "This model cannot serve; GET /models says why. Train it again.");

    public static readonly Problem Loading = new("inference/loading", 503, "The models are not loaded yet; try again after the time in Retry-After.");
}
