using System.Runtime.InteropServices;
using Tandem.Inference.Models;

namespace Tandem.Inference.Training;

/// <summary>Grows the trees of a forest beside each other, on all cores; the result does not depend on how many there are.</summary>
static class ForestGrower
{
    /// <param name="set">The encoded table.</param>
    /// <param name="rows">The rows to learn from.</param>
    /// <param name="options">How.</param>
    /// <param name="grown">Called after each tree with the number of trees done, from several threads.</param>
    /// <param name="ct">Ends the growing with nothing.</param>
    public static GrownTree[] Grow(TrainingSet set, int[] rows, GrowthOptions options, Action<int>? grown, CancellationToken ct)
    {
        var trees = new GrownTree[options.Trees];
        var done = 0;
        Parallel.For(0, trees.Length, new ParallelOptions { CancellationToken = ct, MaxDegreeOfParallelism = Environment.ProcessorCount }, tree =>
        {
            trees[tree] = TreeGrower.Grow(set, rows, options, tree, ct);
            grown?.Invoke(Interlocked.Increment(ref done));
        });
        return trees;
    }

    /// <summary>Puts grown trees into flat arrays. Equal leaf vectors, the many of a single class above all, are stored once.</summary>
    public static Forest Assemble(GrownTree[] trees, TrainingSet set)
    {
        var (roots, vectors) = (new int[trees.Length], new List<double>());
        var nodes = new Node[trees.Sum(t => t.Nodes.Count)];
        var known = new Dictionary<double[], int>(new SameVector());
        var at = 0;
        foreach (var (i, tree) in trees.Index())
        {
            var root = roots[i] = at;
            foreach (var node in tree.Nodes)
                nodes[at++] = node.Column == Forest.Leaf
                    ? new Node(0, Forest.Leaf, Place(CollectionsMarshal.AsSpan(tree.Vectors).Slice(node.Next * set.Width, set.Width)))
                    : new Node(node.Threshold, node.Column, root + node.Next);
        }

        return new Forest(roots, nodes, [.. vectors], set.Width, set.Columns.Length);

        int Place(ReadOnlySpan<double> vector)
        {
            if (known.GetAlternateLookup<ReadOnlySpan<double>>().TryGetValue(vector, out var place))
                return place;
            known.Add(vector.ToArray(), place = known.Count);
            vectors.AddRange(vector);
            return place;
        }
    }

    sealed class SameVector : IEqualityComparer<double[]>, IAlternateEqualityComparer<ReadOnlySpan<double>, double[]>
    {
        public bool Equals(double[]? x, double[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(double[] obj) => GetHashCode(obj.AsSpan());

        public bool Equals(ReadOnlySpan<double> alternate, double[] other) => alternate.SequenceEqual(other);

        public int GetHashCode(ReadOnlySpan<double> alternate)
        {
            var hash = new HashCode();
            foreach (var value in alternate)
                hash.Add(value);
            return hash.ToHashCode();
        }

        public double[] Create(ReadOnlySpan<double> alternate) => alternate.ToArray();
    }
}
