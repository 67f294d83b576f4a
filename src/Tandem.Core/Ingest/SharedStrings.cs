using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Tandem.Core.Ingest;

/// <summary>
/// Short strings that were read a moment ago, by their bytes: what repeats from record to record (a country, a state, a tag) is one string then. Members
/// whose values hardly repeat are soon left alone, and looked at again now and then. One table without chains: a stranger can make it miss, not grow.
/// </summary>
sealed unsafe class SharedStrings
{
    /// <summary>Bytes of the longest.</summary>
    public const int MaxLength = 32;

    const int Slots = 1024, Probe = 64, LeastHits = Probe / 4, Pause = 2048;

    readonly Slot[] _slots = new Slot[Slots];
    Member[] _members = new Member[16];

    /// <summary>Whether looking is worth it for a member.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Wants(int member)
    {
        if ((uint)member >= (uint)_members.Length)
            Array.Resize(ref _members, 2 * member);
        ref var its = ref _members[member];
        if (its.Pause == 0)
            return true;
        its.Pause--;
        return false;
    }

    /// <param name="member">Its number.</param>
    /// <param name="text">Without zeros; at least <see cref="MaxLength"/> bytes can be read there.</param>
    /// <param name="length">1 to <see cref="MaxLength"/>.</param>
    /// <param name="slot">Where a new one belongs.</param>
    /// <returns>Null when it is not there.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public string? Find(int member, byte* text, int length, out int slot)
    {
        var bytes = Vector256.Load(text) & Vector256.LessThan(Vector256<byte>.Indices, Vector256.Create((byte)length));
        slot = Hash(bytes);
        ref var its = ref _members[member];
        ref var here = ref _slots[slot];
        var found = here.Bytes == bytes ? here.Value : null;
        if (found is not null)
            its.Hits++;
        else
            here = new Slot { Bytes = bytes };
        if (++its.Tries == Probe)
            its = new Member { Pause = its.Hits < LeastHits ? Pause : 0 };
        return found;
    }

    /// <summary>Keeps what was not found.</summary>
    public string Keep(int slot, string value) => _slots[slot].Value = value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static int Hash(Vector256<byte> bytes)
    {
        var words = bytes.AsUInt64();
        // Odd multipliers without a pattern; the top bits of the product depend on all of the word's.
        var mixed = words[0] * 0x9E3779B97F4A7C15 ^ words[1] * 0xC2B2AE3D27D4EB4F ^ words[2] * 0x165667B19E3779F9 ^ words[3] * 0x27D4EB2F165667C5;
        return (int)(mixed * 0x9E3779B97F4A7C15 >> 54);
    }

    struct Slot
    {
        public Vector256<byte> Bytes;
        public string? Value;
    }

    struct Member
    {
        public int Tries, Hits, Pause;
    }
}
