outboard display host --scene list
