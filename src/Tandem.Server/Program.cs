using Tandem;
using Tandem.Kafka;

var app = TandemApp.Create(args);
app.UseKafka();
app.Resource<Item>("/items");
return await app.RunAsync();

record Item(string Name, decimal Price);
