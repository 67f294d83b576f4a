using System.Globalization;
using Tandem.KafkaMock;

// Serves librdkafka's own mock cluster on 127.0.0.1: the bootstrap servers are the first line printed, then every command read is answered by a
// line, "ok" or "error …". It ends when standard input closes, so it never outlives the test that started it. README.md lists the commands.
var brokers = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 3;
var cluster = LibRdKafka.NewCluster(brokers);
// The real default of 3 s makes the first member of every group wait that long for others.
LibRdKafka.SetRebalanceDelay(cluster, 100);
// Without one every administrative request waits for it until it times out.
LibRdKafka.SetController(cluster, 1);
Console.WriteLine(LibRdKafka.Bootstraps(cluster));

while (Console.ReadLine() is { } line)
{
    string answer;
    try
    {
        answer = Commands.Run(cluster, brokers, line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
    }
    catch (Exception e) when (e is FormatException or OverflowException or IndexOutOfRangeException or ArgumentException)
    {
        answer = $"error {e.Message}";
    }

    Console.WriteLine(answer);
}

// Not destroyed politely: that waits for connections, and nothing in memory is worth the wait.
return 0;
