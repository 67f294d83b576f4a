using System.CommandLine;
using Tandem.Ledger;

// The same program is the driver and, with "serve", what is driven.
if (args is ["serve", ..])
    return await Subject.RunAsync(args);

var shape = new Option<string>("--shape") { Description = "Which processes and servers there are", DefaultValueFactory = _ => "embedded" };
shape.AcceptOnlyFromAmong([.. Cluster.Shapes]);
var kills = new Option<int>("--kills") { Description = "How many processes and servers are killed", DefaultValueFactory = _ => 200 };
var seconds = new Option<int>("--seconds") { Description = "No more kills after this time", DefaultValueFactory = _ => 1800 };
var writers = new Option<int>("--writers") { Description = "Clients that write at the same time", DefaultValueFactory = _ => 16 };
var within = new Option<double>("--within") { Description = "Seconds in which everything must be moving again", DefaultValueFactory = _ => 5 };
var seed = new Option<int>("--seed") { Description = "For the victims and pauses", DefaultValueFactory = _ => Random.Shared.Next() };
var json = new Option<FileInfo?>("--json") { Description = "Also write the results here" };
var keep = new Option<DirectoryInfo?>("--keep") { Description = "Keep data, logs and acknowledgements in this directory" };
var root = new RootCommand("""
    Clients write while processes and servers are killed with SIGKILL, again and again. In the end everything that was acknowledged must be
    there once, with one event and one effect for each change, in order. Exit code 1 when anything is not.
    """) { shape, kills, seconds, writers, within, seed, json, keep };
root.SetAction((parsed, ct) => LedgerRun.RunAsync(new LedgerOptions(
    parsed.GetValue(shape)!, parsed.GetValue(kills), TimeSpan.FromSeconds(parsed.GetValue(seconds)), parsed.GetValue(writers),
    TimeSpan.FromSeconds(parsed.GetValue(within)), parsed.GetValue(seed), parsed.GetValue(json)?.FullName, parsed.GetValue(keep)?.FullName), ct));
return await root.Parse(args).InvokeAsync();
