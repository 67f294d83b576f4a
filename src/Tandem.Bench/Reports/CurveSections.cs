using System.Globalization;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Peers;
using Tandem.Bench.Results;

namespace Tandem.Bench.Reports;

/// <summary>A section for each thing that grows: drawn, fitted, the knee named.</summary>
sealed class CurveSections(List<Cell> cells)
{
    static readonly Benchmark Benchmark = Benchmark.All.First(b => b.Name == CurveBenchmark.Name);

    static readonly Dictionary<string, (string Title, string X, string Note)> Kinds = new()
    {
        ["connections"] = ("GET /health over connections", "connections", ""),
        ["cores"] = ("GET /health over the server's cores", "cores", "64 connections. The server is bound to so many cores; the load generator shares them."),
        ["payload_bytes"] = ("GET /items/{id} over the size of the item", "bytes", "64 connections, with token, from SQLite. Tandem alone: no peer here does the same work."),
        ["rows"] = ("GET /users?limit=10 over the rows in the table", "rows", "Four connections, as an administrator, on SQLite. Tandem alone: no peer here does the same work. A list says how many users there are, for `X-Total-Count`: counting them is what grows."),
    };

    public IEnumerable<Section> Make() =>
        from kind in Kinds
        let measured = cells.Where(c => c.Benchmark == CurveBenchmark.Name && c.Parameters.ContainsKey(kind.Key)).ToList()
        where measured.Exists(c => c.Failed is null)
        select Section(kind.Key, kind.Value, measured);

    static Section Section(string parameter, (string Title, string X, string Note) kind, List<Cell> measured)
    {
        var table = new Table(["", kind.X, .. Metric.Curves.Select(m => m.Title), "errors %"], []);
        var byPeer = measured.GroupBy(c => c.Peer).ToList();
        foreach (var peer in byPeer)
            foreach (var point in peer.GroupBy(c => X(c, parameter)).OrderBy(p => p.Key))
            {
                var good = point.Where(c => c.Failed is null).ToList();
                table.Rows.Add([PageMaker.Title(Benchmark, peer.Key), point.Key.ToString("N0", CultureInfo.InvariantCulture),
                    .. Metric.Curves.Select(m => PageMaker.Spread(good, m) is { } s ? m.Format(s) : $"no result: {point.First().Failed}"),
                    Metric.ErrorPercent(good).ToString("0.0", CultureInfo.InvariantCulture)]);
            }

        var charts = new List<Chart>();
        var fits = new Table(["", "figure", $"grows as {kind.X} to the power of", "knee"], []);
        foreach (var metric in Metric.Curves)
        {
            var curves = byPeer.Select(p => (p.Key, Points: p.Where(c => c.Failed is null).GroupBy(c => X(c, parameter)).OrderBy(g => g.Key)
                .Select(g => (X: g.Key, Y: PageMaker.Spread([.. g], metric))).Where(g => g.Y is not null).Select(g => (g.X, Y: g.Y!.Value)).ToList())).Where(c => c.Points.Count > 0).ToList();
            if (curves.Count == 0)
                continue;
            var fitted = curves.Select(c => (Label: PageMaker.Title(Benchmark, c.Key), IsSubject: c.Key == Peer.Tandem, c.Points, Fit: PowerFit.Of(c.Points.Select(p => (p.X, p.Y.Median))))).ToList();
            charts.Add(Charts.Curves(kind.Title, kind.X, metric, fitted) with { See = string.Join(" ", fitted.Select(f => Seen.OfCurve(f.Label, kind.X, metric, f.Points, f.Fit)).Append("Dotted: the fit; a diamond: its knee.")) });
            foreach (var (label, _, _, fit) in fitted)
                if (fit is not null)
                    fits.Rows.Add([label, metric.Title, .. Say(fit, kind.X)]);
        }

        return new Section(kind.Title, kind.Note.Length > 0 ? [kind.Note] : [], fits.Rows.Count > 0 ? [table, fits] : [table], charts);
    }

    static double X(Cell cell, string parameter) => double.Parse(cell.Parameters[parameter], CultureInfo.InvariantCulture);

    static string[] Say(PowerFit fit, string x) => !fit.Fits
        ? [string.Create(CultureInfo.InvariantCulture, $"no power fits: a point is {fit.Misfit:0.0} times off"), "none"]
        : fit.Knee is { } knee
        ? [string.Create(CultureInfo.InvariantCulture, $"{fit.SlopeBefore:0.00}, then {fit.SlopeAfter:0.00}"), string.Create(CultureInfo.InvariantCulture, $"{knee:N0} {x}")]
        : [string.Create(CultureInfo.InvariantCulture, $"{fit.Slope:0.00}"), "none"];
}
