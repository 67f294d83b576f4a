using System.Buffers;
using System.ComponentModel;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Microsoft.Extensions.Caching.Hybrid;
using Tandem.Core.Http;

namespace Tandem.Core.Cache;

/// <summary>A value as it is kept, so that a stored null is not the same as nothing.</summary>
// Sealed and marked: HybridCache then hands out the instance itself instead of a copy made through JSON.
[ImmutableObject(true)]
sealed record CacheEntry<T>(T Value);

/// <summary>Writes entries for other processes.</summary>
sealed class CacheEntrySerializers : IHybridCacheSerializerFactory
{
    public bool TryCreateSerializer<T>([NotNullWhen(true)] out IHybridCacheSerializer<T>? serializer)
    {
        serializer = typeof(T).IsGenericType && typeof(T).GetGenericTypeDefinition() == typeof(CacheEntry<>) ? new CacheEntrySerializer<T>() : null;
        return serializer is not null;
    }
}

sealed class CacheEntrySerializer<TEntry> : IHybridCacheSerializer<TEntry>
{
    // Fields as well: without them a tuple would come back empty.
    static readonly JsonSerializerOptions Options = new(Json.Stored) { IncludeFields = true };

    /// <returns>Null, which is no value, when the process that wrote it was of a version that had another type there.</returns>
    public TEntry Deserialize(ReadOnlySequence<byte> source)
    {
        try
        {
            var reader = new Utf8JsonReader(source);
            return JsonSerializer.Deserialize<TEntry>(ref reader, Options)!;
        }
        catch (JsonException)
        {
            return default!;
        }
    }

    public void Serialize(TEntry value, IBufferWriter<byte> target)
    {
        using var writer = new Utf8JsonWriter(target);
        JsonSerializer.Serialize(writer, value, Options);
    }
}
