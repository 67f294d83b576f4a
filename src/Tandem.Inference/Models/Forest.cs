using System.Runtime.InteropServices;

namespace Tandem.Inference.Models;

/// <summary>One place in a tree: a split, or a leaf.</summary>
/// <param name="Threshold">A split sends a row whose value is at most this to the left.</param>
/// <param name="Column">The column it looks at, with <see cref="Forest.MissingLeft"/> when a missing value goes left; <see cref="Forest.Leaf"/> for a leaf.</param>
/// <param name="Next">Split: the right child; the left one is the node behind this. Leaf: its vector.</param>
[StructLayout(LayoutKind.Sequential)]
readonly record struct Node(double Threshold, int Column, int Next);

/// <summary>
/// Trees of splits <c>x &lt;= t</c> with a vector of values per leaf, in flat arrays; a row's score is the mean of its leaves' vectors.
/// Immutable, safe under concurrency; scoring allocates nothing.
/// </summary>
sealed class Forest
{
    public const int Leaf = -1;

    /// <summary>Set in <see cref="Node.Column"/>: a missing value (NaN) goes left. Otherwise it goes right.</summary>
    public const int MissingLeft = 1 << 30;

    /// <summary>Far above what grows on data, far below what a file could hide to make every prediction slow.</summary>
    public const int MaxDepth = 1024;

    /// <summary>Leaves stay within ± this, so that their sum over all trees is still a number.</summary>
    public const double MaxValue = 1e300;

    const int ColumnMask = MissingLeft - 1;

    readonly int[] _roots;
    readonly Node[] _nodes;
    readonly double[] _vectors;

    /// <param name="roots">Where each tree starts; a tree ends where the next one starts.</param>
    /// <param name="nodes">Each tree in preorder: a split, its left subtree, its right subtree.</param>
    /// <param name="vectors">The leaves' vectors, <paramref name="width"/> values each; leaves may share one.</param>
    /// <param name="width">Values per vector: the classes, or 1 for a number.</param>
    /// <param name="columns">How many columns a row has.</param>
    /// <exception cref="UnusableModelException">Something points where there is nothing. After the constructor no index needs a check.</exception>
    public Forest(int[] roots, Node[] nodes, double[] vectors, int width, int columns)
    {
        (_roots, _nodes, _vectors, Width, Columns) = (roots, nodes, vectors, width, columns);
        if (roots.Length == 0 || roots[0] != 0)
            throw new UnusableModelException("its first tree does not start at the first node");
        if (vectors.Length % width != 0)
            throw new UnusableModelException("its leaf vectors are not whole");
        if (vectors.AsSpan().ContainsAnyExceptInRange(-MaxValue, MaxValue))
            throw new UnusableModelException("a leaf holds a value that is no number, or too large a one");
        for (var tree = 0; tree < roots.Length; tree++)
            CheckTree(tree, roots[tree], tree + 1 < roots.Length ? roots[tree + 1] : nodes.Length);
    }

    public int Width { get; }

    public int Columns { get; }

    public int Trees => _roots.Length;

    public ReadOnlySpan<int> Roots => _roots;

    public ReadOnlySpan<Node> Nodes => _nodes;

    public ReadOnlySpan<double> Vectors => _vectors;

    /// <summary>Scores one row.</summary>
    /// <param name="row">A value per column; NaN where it is missing.</param>
    /// <param name="scores">Gets <see cref="Width"/> values: class probabilities, or the predicted number.</param>
    public void Score(ReadOnlySpan<double> row, Span<double> scores)
    {
        scores.Clear();
        foreach (var root in _roots)
        {
            var vector = _vectors.AsSpan(LeafOf(root, row) * scores.Length, scores.Length);
            for (var i = 0; i < scores.Length; i++)
                scores[i] += vector[i];
        }

        for (var i = 0; i < scores.Length; i++)
            scores[i] /= _roots.Length;
    }

    int LeafOf(int at, ReadOnlySpan<double> row)
    {
        while (true)
        {
            ref readonly var node = ref _nodes[at];
            if (node.Column == Leaf)
                return node.Next;
            var value = row[node.Column & ColumnMask];
            var left = value <= node.Threshold || (node.Column & MissingLeft) != 0 && double.IsNaN(value);
            at = left ? at + 1 : node.Next;
        }
    }

    /// <summary>Walks the tree in its own order: every node is met exactly once, so nothing loops, overlaps or is out of reach.</summary>
    void CheckTree(int tree, int start, int end)
    {
        if (start < 0 || start >= end || end > _nodes.Length)
            throw new UnusableModelException($"tree {tree} has no nodes");
        // The right subtrees still to come.
        var rights = new Stack<(int Start, int Depth)>();
        var depth = 0;
        for (var at = start; ; at++)
        {
            var node = _nodes[at];
            if (node.Column != Leaf)
            {
                if (node.Column < 0 || (node.Column & ColumnMask) >= Columns || !double.IsFinite(node.Threshold))
                    throw new UnusableModelException($"node {at} splits by a column or a value that is not there");
                if (node.Next <= at + 1 || node.Next >= end)
                    throw new UnusableModelException($"node {at} has a child outside its tree");
                if (++depth > MaxDepth)
                    throw new UnusableModelException($"tree {tree} is deeper than {MaxDepth}");
                rights.Push((node.Next, depth));
                continue;
            }

            if (node.Next < 0 || node.Next >= _vectors.Length / Width)
                throw new UnusableModelException($"node {at} names a leaf vector that is not there");
            var more = rights.TryPop(out var right);
            if (at + 1 != (more ? right.Start : end))
                throw new UnusableModelException($"tree {tree} is not whole at node {at}");
            if (!more)
                return;
            depth = right.Depth;
        }
    }
}

/// <summary>A model file that cannot serve; the message says what is wrong with it and starts in lower case.</summary>
sealed class UnusableModelException(string message, Exception? inner = null) : Exception(message, inner);
