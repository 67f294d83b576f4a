namespace Tandem.Inference;

/// <summary>Settings of the inference module, section <c>Inference</c>.</summary>
public sealed class InferenceOptions
{
    /// <summary>Lets anyone call POST /predict. Default false: it takes a bearer token. The addresses under /models always do.</summary>
    public bool PredictOpen { get; set; }
}
