using System.Buffers;

namespace Tandem.Transport;

/// <summary>A rented piece of memory, filled from the front.</summary>
sealed class Segment : ReadOnlySequenceSegment<byte>
{
    byte[] _bytes = [];

    public int Filled { get; private set; }

    public int Free => _bytes.Length - Filled;

    public long End => RunningIndex + Filled;

    public Segment? Following { get => (Segment?)Next; set => Next = value; }

    public Memory<byte> FreeMemory => _bytes.AsMemory(Filled);

    /// <param name="size">At least.</param>
    /// <param name="start">How many bytes of the connection come before.</param>
    public void Rent(int size, long start)
    {
        _bytes = ArrayPool<byte>.Shared.Rent(size);
        (Filled, RunningIndex, Memory, Next) = (0, start, default, null);
    }

    public void Fill(int count)
    {
        Filled += count;
        Memory = _bytes.AsMemory(0, Filled);
    }

    public void Return()
    {
        ArrayPool<byte>.Shared.Return(_bytes);
        (_bytes, Filled, Memory, Next) = ([], 0, default, null);
    }
}
