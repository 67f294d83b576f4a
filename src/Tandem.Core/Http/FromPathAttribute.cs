using Microsoft.AspNetCore.Http.Metadata;

namespace Tandem.Core.Http;

/// <summary>A parameter that is part of the path under a name that C# would write otherwise. MVC's <c>FromRoute</c> is the same, and has all of MVC loaded.</summary>
[AttributeUsage(AttributeTargets.Parameter)]
public sealed class FromPathAttribute : Attribute, IFromRouteMetadata
{
    /// <summary>As the path writes it.</summary>
    public string? Name { get; set; }
}
