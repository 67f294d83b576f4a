using System.Runtime.InteropServices;
using Tandem.Inference.Models;

namespace Tandem.Inference.Training;

/// <summary>What trees are grown from.</summary>
/// <param name="Columns">The encoded table.</param>
/// <param name="Labels">The class of each row; 0 in a regression.</param>
/// <param name="Values">1 for each row; the number to predict in a regression.</param>
/// <param name="Width">Classes, or 1 in a regression.</param>
sealed record TrainingSet(RankedColumn[] Columns, int[] Labels, double[] Values, int Width);

/// <summary>How trees are grown.</summary>
/// <param name="Trees">How many.</param>
/// <param name="Seed">Of every random choice.</param>
/// <param name="ColumnsPerSplit">How many columns a split is looked for in.</param>
/// <param name="MinLeaf">The least rows on each side of a split.</param>
sealed record GrowthOptions(int Trees, long Seed, int ColumnsPerSplit, int MinLeaf)
{
    /// <summary>A data set can ask for a chain of splits; 64 halvings are enough for every other.</summary>
    public const int MaxDepth = 64;
}

/// <summary>A split of a grown tree, by rank as it was found and by value as it will serve; or a leaf with the place of its vector.</summary>
readonly record struct GrownNode(int Column, int Rank, double Threshold, int Next);

/// <summary>A tree as it was grown, in the order of <see cref="Forest"/>.</summary>
sealed record GrownTree(List<GrownNode> Nodes, List<double> Vectors)
{
    /// <summary>The vector of the leaf that a row of the training set falls into.</summary>
    public ReadOnlySpan<double> VectorOf(TrainingSet set, int row)
    {
        var at = 0;
        while (Nodes[at] is { Column: not Forest.Leaf } node)
            at = set.Columns[node.Column].Ranks[row] <= node.Rank ? at + 1 : node.Next;
        return CollectionsMarshal.AsSpan(Vectors).Slice(Nodes[at].Next * set.Width, set.Width);
    }
}

/// <summary>
/// Grows one tree of a random forest (Breiman 2001, "Random Forests", Machine Learning 45): rows drawn with replacement, and at each node the best
/// split among a few columns drawn anew. A split is good when the squared sums of its sides, divided by their weights, are large: with
/// one unit vector per class that is the Gini criterion of CART, with numbers it is least squares.
/// </summary>
sealed class TreeGrower
{
    readonly TrainingSet _set;
    readonly GrowthOptions _options;
    readonly SplitMix _random;
    // Rows in the bag, each once; a node owns a stretch of them.
    readonly int[] _rows;
    // How often each row was drawn.
    readonly int[] _weights;
    readonly long[] _sorted;
    readonly int[] _order;
    readonly double[] _total;
    readonly double[] _left;
    readonly double[] _right;
    readonly GrownTree _tree = new([], []);

    TreeGrower(TrainingSet set, ReadOnlySpan<int> rows, GrowthOptions options, int tree)
    {
        (_set, _options, _random) = (set, options, new SplitMix(options.Seed, tree));
        _weights = new int[set.Labels.Length];
        for (var i = 0; i < rows.Length; i++)
            _weights[rows[_random.Next(rows.Length)]]++;
        _rows = [.. Enumerable.Range(0, _weights.Length).Where(r => _weights[r] > 0)];
        _sorted = new long[_rows.Length];
        _order = [.. Enumerable.Range(0, set.Columns.Length)];
        (_total, _left, _right) = (new double[set.Width], new double[set.Width], new double[set.Width]);
    }

    /// <summary>Grows tree number <paramref name="tree"/> from some rows of the set; the same arguments give the same tree.</summary>
    public static GrownTree Grow(TrainingSet set, ReadOnlySpan<int> rows, GrowthOptions options, int tree, CancellationToken ct) =>
        new TreeGrower(set, rows, options, tree).Grow(ct);

    GrownTree Grow(CancellationToken ct)
    {
        var open = new Stack<Part>();
        open.Push(new Part(0, _rows.Length, 0, -1));
        while (open.TryPop(out var part))
        {
            ct.ThrowIfCancellationRequested();
            var nodes = _tree.Nodes;
            if (part.Parent >= 0)
                nodes[part.Parent] = nodes[part.Parent] with { Next = nodes.Count };
            var weight = Sum(part, out var pure);
            if (pure || part.Depth == GrowthOptions.MaxDepth || weight < 2 * _options.MinLeaf || FindSplit(part, weight) is not { } split)
            {
                AddLeaf(weight);
                continue;
            }

            var middle = Divide(part, split);
            // Left on top, so that it comes directly behind its parent.
            open.Push(new Part(middle, part.End, part.Depth + 1, nodes.Count));
            open.Push(new Part(part.Start, middle, part.Depth + 1, -1));
            nodes.Add(split);
        }

        return _tree;
    }

    /// <summary>Sums the node's vectors into <see cref="_total"/>.</summary>
    long Sum(Part part, out bool pure)
    {
        Array.Clear(_total);
        var (weight, first) = (0L, _rows[part.Start]);
        pure = true;
        for (var i = part.Start; i < part.End; i++)
        {
            var row = _rows[i];
            weight += _weights[row];
            _total[_set.Labels[row]] += _weights[row] * _set.Values[row];
            pure &= _set.Labels[row] == _set.Labels[first] && _set.Values[row] == _set.Values[first];
        }

        return weight;
    }

    void AddLeaf(long weight)
    {
        _tree.Nodes.Add(new GrownNode(Forest.Leaf, 0, 0, _tree.Vectors.Count / _set.Width));
        foreach (var sum in _total)
            _tree.Vectors.Add(sum / weight);
    }

    GrownNode? FindSplit(Part part, long weight)
    {
        var best = new Candidate(double.NegativeInfinity, -1, 0, 0);
        // Where every drawn column has one value only, more are drawn.
        for (var drawn = 0; drawn < _order.Length && (drawn < _options.ColumnsPerSplit || best.Column < 0); drawn++)
        {
            var other = drawn + _random.Next(_order.Length - drawn);
            (_order[drawn], _order[other]) = (_order[other], _order[drawn]);
            if (Sort(part, _order[drawn]))
                Scan(_order[drawn], part.End - part.Start, weight, ref best);
        }

        return best.Column < 0 ? null : Between(best);
    }

    /// <summary>Sorts the node's rows by the column's rank, the rank in the upper half of a number and the row in the lower.</summary>
    /// <returns>False when all have the same.</returns>
    bool Sort(Part part, int column)
    {
        var ranks = _set.Columns[column].Ranks;
        var sorted = _sorted.AsSpan(0, part.End - part.Start);
        var differ = false;
        var first = ranks[_rows[part.Start]];
        for (var i = 0; i < sorted.Length; i++)
        {
            var row = _rows[part.Start + i];
            differ |= ranks[row] != first;
            sorted[i] = (long)ranks[row] << 32 | (uint)row;
        }

        if (differ)
            sorted.Sort();
        return differ;
    }

    void Scan(int column, int count, long weight, ref Candidate best)
    {
        var (labels, values) = (_set.Labels, _set.Values);
        // A large mean would drown the differences between squares of sums: numbers are taken from their mean.
        var offset = _set.Width == 1 ? _total[0] / weight : 0;
        Array.Clear(_left);
        _total.CopyTo(_right, 0);
        if (_set.Width == 1)
            _right[0] = 0;
        var (leftSquares, rightSquares) = (0.0, 0.0);
        foreach (var sum in _right)
            rightSquares += sum * sum;

        var leftWeight = 0L;
        for (var i = 0; i < count - 1; i++)
        {
            var row = (int)(uint)_sorted[i];
            var (label, times) = (labels[row], _weights[row]);
            var value = (values[row] - offset) * times;
            leftSquares += value * (2 * _left[label] + value);
            rightSquares -= value * (2 * _right[label] - value);
            _left[label] += value;
            _right[label] -= value;
            leftWeight += times;
            var (rank, next) = ((int)(_sorted[i] >> 32), (int)(_sorted[i + 1] >> 32));
            if (rank == next || leftWeight < _options.MinLeaf || weight - leftWeight < _options.MinLeaf)
                continue;
            var score = leftSquares / leftWeight + rightSquares / (weight - leftWeight);
            if (score > best.Score)
                best = new Candidate(score, column, rank, next);
        }
    }

    /// <summary>A split half way between two neighbouring values.</summary>
    GrownNode Between(Candidate best)
    {
        var (_, column, rank, next) = best;
        var values = _set.Columns[column].Values;
        var threshold = values[rank] + (values[next] - values[rank]) / 2;
        // Neighbouring floating-point numbers have nothing between them, and the difference of very large ones is infinite.
        if (!(threshold < values[next]))
            threshold = values[rank];
        // Values between the two that only rows outside this node have fall on the side that the threshold says.
        while (rank + 1 < next && values[rank + 1] <= threshold)
            rank++;
        return new GrownNode(column, rank, threshold, 0);
    }

    /// <returns>Where the right part begins.</returns>
    int Divide(Part part, GrownNode split)
    {
        var ranks = _set.Columns[split.Column].Ranks;
        var (left, right) = (part.Start, part.End - 1);
        while (left <= right)
            if (ranks[_rows[left]] <= split.Rank)
                left++;
            else
            {
                (_rows[left], _rows[right]) = (_rows[right], _rows[left]);
                right--;
            }

        return left;
    }

    /// <summary>A split between two ranks that are neighbours within the node.</summary>
    readonly record struct Candidate(double Score, int Column, int Rank, int Next);

    /// <summary>A node still to be made: its stretch of the rows, and the split whose right child it is (−1: a left child).</summary>
    readonly record struct Part(int Start, int End, int Depth, int Parent);
}

/// <summary>SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine and runtime, which System.Random does not promise.</summary>
sealed class SplitMix(long seed, long stream)
{
    const ulong Golden = 0x9E3779B97F4A7C15;

    ulong _state = Mix((ulong)seed + Golden * (ulong)(stream + 1));

    /// <summary>0 to <paramref name="below"/> − 1.</summary>
    public int Next(int below)
    {
        _state += Golden;
        // The upper half of the product: every result is as likely as the others to within 2^-32.
        return (int)Math.BigMul(Mix(_state), (ulong)below, out _);
    }

    static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
