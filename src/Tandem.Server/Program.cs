using Tandem;
using Tandem.Bench;
using Tandem.Kafka;
using Tandem.Postgres;
using Tandem.Redis;

var app = TandemApp.Create(args);
app.UsePostgres();
app.UseRedis();
app.UseKafka();
app.Resource<Item>("/items");
app.Command(_ => BenchCommand.Make((words, module) => TandemApp.Create(words).Add(module).RunAsync()));
return await app.RunAsync();

record Item(string Name, decimal Price);
