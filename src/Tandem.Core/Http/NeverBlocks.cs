using Microsoft.AspNetCore.Builder;

namespace Tandem.Core.Http;

/// <summary>Says of endpoints how their code treats the thread that it runs on.</summary>
public static class ThreadConventions
{
    /// <summary>
    /// The endpoint's code never blocks its thread and is done in some microseconds: it answers out of memory, such as out of <see cref="Cache.Cache{TKey, TValue}"/>, whose
    /// computations run elsewhere. Its requests then stay on the thread that reads their connections, which saves about a sixth of what they cost. Code that waits
    /// there all the same (a lock, a file, a long calculation) makes other connections wait with it, and the log names it.
    /// </summary>
    public static TBuilder NeverBlocks<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder => builder.WithMetadata(new StaysOnLoop());
}

/// <summary>Of an endpoint that never blocks its thread.</summary>
sealed class StaysOnLoop;
