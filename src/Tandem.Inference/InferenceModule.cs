using Tandem.Core;

namespace Tandem.Inference;

/// <summary>The inference module.</summary>
public sealed class InferenceModule : Module
{
    /// <inheritdoc/>
    public override string Name => "inference";
}
