using Tandem.Inference.Models;

namespace Tandem.Tests.Inference;

[Storeless("Numbers that are computed.")]
public sealed class ForestTests
{
    static readonly Node Yes = new(0, Forest.Leaf, 0);
    static readonly Node No = new(0, Forest.Leaf, 1);

    [Fact]
    public void A_value_at_the_threshold_goes_left_and_a_missing_one_where_the_split_says()
    {
        Forest Of(int column) => new([0], [new Node(1.5, column, 2), Yes, No], [1, 0], 1, 1);
        double Score(Forest forest, double value)
        {
            var score = new double[1];
            forest.Score([value], score);
            return score[0];
        }

        Assert.Equal([1, 1, 0], new[] { 1, 1.5, Math.BitIncrement(1.5) }.Select(v => Score(Of(0), v)));
        Assert.Equal(0, Score(Of(0), double.NaN));
        Assert.Equal(1, Score(Of(Forest.MissingLeft), double.NaN));
        Assert.Equal([1, 0], new[] { 1.0, 2 }.Select(v => Score(Of(Forest.MissingLeft), v)));
    }

    [Fact]
    public void Scores_are_the_mean_over_the_trees()
    {
        var forest = new Forest([0, 3], [new Node(0, 0, 2), Yes, No, new Node(0, 1, 5), No, Yes], [0.75, 0.25, 0.25, 0.75], 2, 2);
        var scores = new double[2];
        forest.Score([-1, -1], scores);
        Assert.Equal([0.5, 0.5], scores);
        forest.Score([-1, 1], scores);
        Assert.Equal([0.75, 0.25], scores);
    }

    [Fact]
    public void A_forest_that_could_loop_or_point_outside_is_refused()
    {
        (string Why, int[] Roots, Node[] Nodes)[] broken =
        [
            ("does not start", [], [Yes]),
            ("does not start", [1], [Yes, No]),
            ("has no nodes", [0, 0], [Yes]),
            ("has no nodes", [0, 5], [Yes]),
            ("has no nodes", [0, -1], [Yes, Yes]),
            ("leaf vector that is not there", [0], [new Node(0, Forest.Leaf, 2)]),
            ("leaf vector that is not there", [0], [new Node(0, Forest.Leaf, -1)]),
            ("not whole", [0], [Yes, No]),
            ("child outside", [0], [new Node(0, 0, 0), Yes, No]),
            ("child outside", [0], [new Node(0, 0, 1), Yes, No]),
            ("child outside", [0], [new Node(0, 0, 3), Yes, No]),
            ("child outside", [0], [new Node(0, 0, int.MaxValue), Yes, No]),
            ("child outside", [0, 3], [new Node(0, 0, 4), Yes, No, new Node(0, 0, 5), Yes, No]),
            // Both splits share a child; a walk by indices alone would meet it twice.
            ("not whole", [0], [new Node(0, 0, 3), new Node(0, 0, 3), Yes, No]),
            ("child outside", [0], [Yes with { Column = 0, Next = 2 }, Yes, new Node(0, 0, 4)]),
            ("column or a value", [0], [new Node(0, 1, 2), Yes, No]),
            ("column or a value", [0], [new Node(0, -2, 2), Yes, No]),
            ("column or a value", [0], [new Node(0, int.MinValue, 2), Yes, No]),
            ("column or a value", [0], [new Node(double.NaN, 0, 2), Yes, No]),
            ("column or a value", [0], [new Node(double.PositiveInfinity, 0, 2), Yes, No]),
        ];
        foreach (var (why, roots, nodes) in broken)
            Assert.Contains(why, Assert.Throws<UnusableModelException>(() => new Forest(roots, nodes, [1, 0], 1, 1)).Message);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_chain_that_makes_every_prediction_slow_is_refused(bool toTheRight)
    {
        const int Splits = Forest.MaxDepth + 1;
        Node[] nodes = toTheRight
            ? [.. Enumerable.Range(0, Splits).SelectMany(i => (Node[])[new Node(i, 0, 2 * i + 2), Yes]), No]
            : [.. Enumerable.Range(0, Splits).Select(i => new Node(i, 0, 2 * Splits - i)), Yes, .. Enumerable.Repeat(No, Splits)];
        Assert.Contains("deeper than 1024", Assert.Throws<UnusableModelException>(() => new Forest([0], nodes, [1, 0], 1, 1)).Message);
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.NegativeInfinity)]
    [InlineData(1e301)]
    public void Leaves_hold_numbers_that_can_be_summed(double value) =>
        Assert.Contains("a leaf holds", Assert.Throws<UnusableModelException>(() => new Forest([0], [Yes], [value], 1, 1)).Message);
}
