using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace Tandem.Core.Http;

/// <summary>Versions as entity tags: what If-Match and If-None-Match ask (RFC 9110, section 13.1).</summary>
static class EntityTags
{
    /// <summary>The tag of a version: <c>"3"</c>.</summary>
    public static string Of(long version) => $"\"{version}\"";

    /// <summary>What the request asks of the version it changes; null when it asks nothing.</summary>
    /// <exception cref="ProblemException">http/invalid (422): the header cannot be read, so the change must not go through as if it were not there.</exception>
    public static Func<long, bool>? IfMatch(HttpRequest request)
    {
        var header = request.Headers.IfMatch;
        if (StringValues.IsNullOrEmpty(header))
            return null;
        if (!EntityTagHeaderValue.TryParseStrictList(header, out var tags))
            throw new ProblemException(HttpProblems.Invalid, null,
                new Dictionary<string, string[]> { ["If-Match"] = ["must be * or ETags in quotes, as answers give them"] });
        return version =>
        {
            var current = Of(version);
            return tags.Any(t => t.Equals(EntityTagHeaderValue.Any) || !t.IsWeak && t.Tag == current);
        };
    }

    /// <summary>True when the caller has this version already.</summary>
    public static bool IsKnown(HttpRequest request, string tag)
    {
        var header = request.Headers.IfNoneMatch;
        return !StringValues.IsNullOrEmpty(header) && EntityTagHeaderValue.TryParseList(header, out var tags)
            && tags.Any(t => t.Equals(EntityTagHeaderValue.Any) || t.Tag == tag);
    }
}
