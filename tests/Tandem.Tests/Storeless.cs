using Xunit.v3;

namespace Tandem.Tests;

/// <summary>
/// No store has a part in what is tested: it runs once, on embedded stores, and ./test leaves it out where it runs the suite on PostgreSQL.
/// </summary>
/// <param name="why">How one knows.</param>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
sealed class StorelessAttribute(string why) : Attribute, ITraitAttribute
{
    public string Why { get; } = why;

    public IReadOnlyCollection<KeyValuePair<string, string>> GetTraits() => [new("Stores", "none")];
}
