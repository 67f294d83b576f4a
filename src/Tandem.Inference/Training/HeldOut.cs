using Tandem.Inference.Models;

namespace Tandem.Inference.Training;

/// <summary>Splits rows into those that are learnt from and those that are held out, and measures on the latter.</summary>
static class HeldOut
{
    const double Share = 0.2;

    // Tree numbers start at 0; this stream is drawn from by no tree.
    const long Stream = -2;

    /// <summary>A fifth of the rows at random; of every class its fifth, so that a rare class is on both sides (of a class with one row: the learning side).</summary>
    public static (int[] Learn, int[] Test) Split(TrainingData data, long seed)
    {
        var random = new SplitMix(seed, Stream);
        var (learn, test) = (new List<int>(), new List<int>());
        foreach (var group in Enumerable.Range(0, data.Rows).GroupBy(r => data.Labels[r]).OrderBy(g => g.Key))
        {
            var rows = group.ToArray();
            for (var i = rows.Length - 1; i > 0; i--)
            {
                var other = random.Next(i + 1);
                (rows[i], rows[other]) = (rows[other], rows[i]);
            }

            var held = rows.Length == 1 ? 0 : Math.Max(1, (int)Math.Round(rows.Length * Share));
            test.AddRange(rows[..held]);
            learn.AddRange(rows[held..]);
        }

        learn.Sort();
        test.Sort();
        return ([.. learn], [.. test]);
    }

    /// <param name="forest">Grown on <paramref name="learn"/>.</param>
    /// <param name="set">The encoded table, missing values filled as <paramref name="learn"/> says.</param>
    /// <param name="data">The file.</param>
    /// <param name="learn">What the forest has seen.</param>
    /// <param name="test">What it has not.</param>
    public static Metrics Measure(Forest forest, TrainingSet set, TrainingData data, int[] learn, int[] test)
    {
        var (row, scores) = (new double[forest.Columns], new double[forest.Width]);
        return data.Task == ModelTask.Classification ? Classification() : Regression();

        ReadOnlySpan<double> Score(int r)
        {
            for (var c = 0; c < row.Length; c++)
                row[c] = set.Columns[c].Values[set.Columns[c].Ranks[r]];
            forest.Score(row, scores);
            return scores;
        }

        Metrics Classification()
        {
            var classes = data.Target.Classes.Length;
            var confusion = Enumerable.Range(0, classes).Select(_ => new int[classes]).ToArray();
            foreach (var r in test)
                confusion[data.Labels[r]][Model.Best(Score(r))]++;
            var met = Enumerable.Range(0, classes).Sum(c => confusion[c][c]);
            var frequent = learn.CountBy(r => data.Labels[r]).MaxBy(g => g.Value).Key;
            return new Metrics(test.Length)
            {
                Accuracy = (double)met / test.Length,
                BaselineAccuracy = (double)confusion[frequent].Sum() / test.Length,
                Classes = [.. Enumerable.Range(0, classes).Select(c => new ClassMetrics(data.Target.Classes[c].ToString(), confusion[c].Sum(),
                    Share(confusion[c][c], confusion.Sum(line => line[c])), Share(confusion[c][c], confusion[c].Sum())))],
                Confusion = confusion,
            };
        }

        Metrics Regression()
        {
            var actual = test.Select(r => data.Values[r]).ToArray();
            var predicted = test.Select(r => Score(r)[0]).ToArray();
            var mean = actual.Average();
            var median = learn.Select(r => data.Values[r]).Order().ElementAt(learn.Length / 2);
            var spread = actual.Sum(a => (a - mean) * (a - mean));
            return new Metrics(test.Length)
            {
                R2 = spread > 0 ? 1 - actual.Zip(predicted).Sum(p => (p.First - p.Second) * (p.First - p.Second)) / spread : null,
                MeanAbsoluteError = actual.Zip(predicted).Average(p => Math.Abs(p.First - p.Second)),
                BaselineMeanAbsoluteError = actual.Average(a => Math.Abs(a - median)),
            };
        }

        static double? Share(int part, int of) => of == 0 ? null : (double)part / of;
    }
}
