using Tandem;
using Tandem.Kafka;
using Tandem.Postgres;

var app = TandemApp.Create(args);
app.UsePostgres();
app.UseKafka();
app.Resource<Item>("/items");
return await app.RunAsync();

record Item(string Name, decimal Price);
