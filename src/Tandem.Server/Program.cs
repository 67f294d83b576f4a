using Tandem;
using Tandem.Postgres;

var app = TandemApp.Create(args);
app.UsePostgres();
app.Resource<Item>("/items");
return await app.RunAsync();

record Item(string Name, decimal Price);
