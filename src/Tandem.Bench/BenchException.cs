namespace Tandem.Bench;

/// <summary>Something that the person in front of it has to know; its message is a sentence.</summary>
sealed class BenchException(string message) : Exception(message);
